/** The parent of everything that this client throws. */
export class TiergateError extends Error {
  override name = "TiergateError";
}

/** Nobody answers in time, or the sidecar cannot decide; it is no denial. */
export class SidecarUnreachableError extends TiergateError {
  override name = "SidecarUnreachableError";
}

/** The request is a mistake, which no repetition mends. */
export class RequestError extends TiergateError {
  override name = "RequestError";
  /** The HTTP status; 400 for a field that the client refuses by itself. */
  readonly status: number;
  /** The kind of problem, such as `urn:tiergate:problem:unknown-feature`. */
  readonly type: string;
  /** The wrong field as a JSON Pointer; empty if it is the request as a whole. */
  readonly field: string;
  /** What was probably meant; empty if nothing is alike. */
  readonly suggestion: string;

  constructor(problem: { status: number; type: string; detail: string; field?: string; suggestion?: string }) {
    super(problem.detail);
    this.status = problem.status;
    this.type = problem.type;
    this.field = problem.field ?? "";
    this.suggestion = problem.suggestion ?? "";
  }

  /** Whether the catalog has no such feature. */
  get isUnknownFeature(): boolean {
    return this.type === "urn:tiergate:problem:unknown-feature";
  }
}
