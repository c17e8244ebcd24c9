import { RequestError, SidecarUnreachableError, TiergateError } from "./errors.js";
import { digits, encode } from "./json.js";
import type {
  Answer,
  AnyCatalog,
  Check,
  Consumption,
  FeatureUsage,
  FieldsOf,
  LevelFields,
  Outcome,
  Quantity,
  QuantityFields,
  RangeFields,
  RecordedUsage,
  RequestOptions,
  Subject,
} from "./types.js";

/** The default address of a sidecar. */
export const DEFAULT_URL = "http://127.0.0.1:8437";

const TRACED = /^[!-~]+( +[!-~]+)*$/;

/** How to reach a sidecar. */
export interface SidecarOptions {
  /** `http://host:port` or `https://host:port`. */
  url?: string;
  /** What the sidecar's token file holds, if it has one; a function is asked before each request. */
  token?: string | (() => string);
  /** Milliseconds for a call, from its beginning to the last byte of the answer; by default 1,000. */
  timeoutMs?: number;
  /** In place of the global `fetch`: for a Unix socket, see `unixSocket` in `@tiergate/client/node`. */
  fetch?: typeof fetch;
  /** Called for each call without an answer, before `allows` gives its `otherwise`; for a metric. */
  onNoAnswer?: (error: SidecarUnreachableError) => void;
  /** With it, `allows` gives its `otherwise` for a mistake, too, and calls this; without it, `allows` throws. */
  onMistake?: (error: RequestError) => void;
}

type Fields = QuantityFields & RangeFields & LevelFields;
type Members = Record<string, unknown>;

/**
 * A client of one sidecar. `C` is the `Catalog` that `tiergate codegen --language typescript` writes: with it, a
 * misspelt feature or level does not compile.
 */
export class Sidecar<C = AnyCatalog> {
  readonly #url: string;
  readonly #options: SidecarOptions;
  #noAnswers = 0;

  constructor(options: SidecarOptions = {}) {
    const url = options.url ?? DEFAULT_URL;
    if (!/^https?:\/\/[^/?#]+\/?$/.test(url)) {
      throw new TiergateError(`\`${url}\` must be \`http://host:port\` or \`https://host:port\``);
    }
    this.#url = url.replace(/\/$/, "");
    this.#options = options;
  }

  /** The number of calls without an answer so far. */
  get noAnswers(): number {
    return this.#noAnswers;
  }

  /**
   * Ask whether a subject may use a feature.
   *
   * Throws `SidecarUnreachableError` if nobody answers in time or the sidecar cannot decide yet, and `RequestError` for
   * a mistake in the check.
   */
  async check<F extends keyof C & string>(
    subject: Subject,
    feature: F,
    options: FieldsOf<C[F]> & RequestOptions = {} as FieldsOf<C[F]> & RequestOptions,
  ): Promise<Answer> {
    const body = checkBody(subject, feature, options as Fields, "");
    const { members, decisionId } = await this.#post("/v1/check", body, options);
    return this.#answer(members, decisionId, feature);
  }

  /**
   * Ask as `check` does; `otherwise` if there is no answer.
   *
   * `otherwise` has no default: whether a feature fails open or closed is the service's decision. A mistake throws,
   * unless there is `onMistake`.
   */
  async allows<F extends keyof C & string>(
    subject: Subject,
    feature: F,
    options: FieldsOf<C[F]> & RequestOptions & { otherwise: boolean },
  ): Promise<boolean> {
    try {
      return (await this.check(subject, feature, options)).allowed;
    } catch (error) {
      if (error instanceof SidecarUnreachableError) return options.otherwise;
      if (error instanceof RequestError && this.#options.onMistake) {
        tell(this.#options.onMistake, error);
        return options.otherwise;
      }
      throw error;
    }
  }

  /** Ask up to 1,000 checks at once. Answers come in the same order; a wrong check's place holds its error. */
  async checks(checks: readonly Check<C>[], options: RequestOptions = {}): Promise<(Answer | RequestError)[]> {
    const asked = checks as readonly ({ subject: Subject; feature: string } & Fields)[];
    const body = { checks: asked.map((check, at) => checkBody(check.subject, check.feature, check, `/checks/${at}`)) };
    const { members, decisionId } = await this.#post("/v1/checks", body, options);
    const results = this.#list(members, "results");
    if (results.length !== asked.length) throw this.#misled();
    return results.map((result, place) => {
      if (!("allowed" in result)) return problemOf(result);
      const id = decisionId && `${decisionId}.${place}`;
      return this.#answer(result, id, asked[place]?.feature);
    });
  }

  /** The subject's entitlement for each feature of the catalog, or for some, in the order of their ids. */
  async entitlements(
    subject: Subject,
    options: { features?: readonly (keyof C & string)[] } & RequestOptions = {},
  ): Promise<Answer[]> {
    const query = subjectQuery(subject);
    if (options.features?.length) query.set("feature", options.features.join(","));
    const { members } = await this.#request("GET", `/v1/entitlements?${query}`, undefined, options);
    const { publication, revision, stale } = members;
    return this.#list(members, "entitlements").map((entry) =>
      this.#answer({ policies: [], ...entry, publication, revision, stale }, ""),
    );
  }

  /** Ask why `check` answers as it does, or would `at` another moment. Takes milliseconds; `sentences` are for people. */
  async explain<F extends keyof C & string>(
    subject: Subject,
    feature: F,
    options: FieldsOf<C[F]> & RequestOptions & { at?: Date } = {} as FieldsOf<C[F]> & RequestOptions,
  ): Promise<{ answer: Answer; sentences: string[]; reasoning: Members }> {
    const body = { ...checkBody(subject, feature, options as Fields, ""), at: options.at?.toISOString() };
    const { members } = await this.#post("/v1/explain", body, options);
    const decision = members["decision"];
    if (!isMembers(decision)) throw this.#misled();
    const answer = this.#answer(decision, "", feature);
    return { answer, sentences: members["sentences"] as string[], reasoning: members };
  }

  /**
   * Check a metered feature, and count the amount if it is allowed: by default one unit.
   *
   * With the same `key` and content it counts once, so a call that failed can be repeated with its key. Without one,
   * this makes one for the call. Throws as `check`; after a `SidecarUnreachableError` it may have been counted.
   */
  async consume(
    subject: Subject,
    feature: keyof C & string,
    options: { amount?: Quantity; key?: string } & RequestOptions = {},
  ): Promise<Consumption> {
    const body = { ...checkBody(subject, feature, options, ""), key: options.key ?? newKey() };
    const { members, decisionId } = await this.#post("/v1/consume", body, options);
    return this.#answer(members, decisionId, feature) as Consumption;
  }

  /** Check a metered feature, and set the amount aside if it is allowed, for `expiresIn` seconds, by default 600. */
  async reserve(
    subject: Subject,
    feature: keyof C & string,
    options: { amount?: Quantity; expiresIn?: number; key?: string } & RequestOptions = {},
  ): Promise<Reservation> {
    const body = {
      ...checkBody(subject, feature, options, ""),
      key: options.key ?? newKey(),
      expires_in: options.expiresIn,
    };
    const { members, decisionId } = await this.#post("/v1/reserve", body, options);
    const answer = this.#answer(members, decisionId, feature);
    const id = String(members["reservation"] ?? "");
    const end = (verb: string, amount?: Quantity) => this.#end(id, verb, amount);
    return new Reservation(answer, Number(members["reserved"]), id, end);
  }

  /** Use a reservation by its id, as in another process than the one that made it: by default all of it. */
  async commit(reservation: string, amount?: Quantity): Promise<void> {
    await this.#end(reservation, "commit", amount);
  }

  /** Give a reservation back by its id. */
  async release(reservation: string): Promise<void> {
    await this.#end(reservation, "release");
  }

  /** Count usage that has happened, now or `at` an earlier moment; it may exceed the limit. */
  async reportUsage(
    subject: Subject,
    feature: keyof C & string,
    options: { amount?: Quantity; at?: Date; key?: string } & RequestOptions = {},
  ): Promise<RecordedUsage> {
    const check = checkBody(subject, feature, options, "");
    const body = { ...check, key: options.key ?? newKey(), at: options.at?.toISOString() };
    return (await this.#post("/v1/usage", body, options)).members as unknown as RecordedUsage;
  }

  /**
   * Report how requests to features went: one outcome, or up to 1,000. The result: what is wrong with some of them.
   *
   * Throws `SidecarUnreachableError` if nobody answers in time; they may have been counted. With an `id` an outcome
   * counts once, so that the call can be repeated.
   */
  async outcomes(
    outcomes: readonly Outcome<keyof C & string>[],
    options: RequestOptions = {},
  ): Promise<RequestError[]> {
    const body = {
      outcomes: outcomes.map((one) => ({
        feature: one.feature,
        ok: one.ok,
        duration_ms: one.durationMs === undefined ? undefined : Math.max(0, Math.round(one.durationMs * 1_000) / 1_000),
        at: one.at?.toISOString(),
        id: one.id,
      })),
    };
    const { members } = await this.#post("/v1/outcomes", body, options);
    return this.#list(members, "results")
      .filter((result) => !("replayed" in result))
      .map(problemOf);
  }

  /** What a subject has used of one metered feature, or of all, in their current windows. */
  async usage(
    subject: Subject,
    options: { feature?: keyof C & string } & RequestOptions = {},
  ): Promise<FeatureUsage[]> {
    const query = subjectQuery(subject);
    if (options.feature !== undefined) query.set("feature", options.feature);
    const { members } = await this.#request("GET", `/v1/usage?${query}`, undefined, options);
    return this.#list(members, "usage") as unknown as FeatureUsage[];
  }

  async #end(reservation: string, verb: string, amount?: Quantity): Promise<void> {
    if (!reservation) {
      throw new RequestError({
        status: 400,
        type: "urn:tiergate:problem:invalid-request",
        detail: "it is empty: a reservation that is denied cannot end",
        field: "/reservation",
      });
    }
    const body = amount === undefined ? {} : { amount: digits(amount, "/amount") };
    await this.#post(`/v1/reservations/${encodeURIComponent(reservation)}/${verb}`, body, {});
  }

  #post(path: string, body: object, options: RequestOptions): Promise<{ members: Members; decisionId: string }> {
    return this.#request("POST", path, encode(body), options);
  }

  async #request(
    method: string,
    path: string,
    body: string | undefined,
    options: RequestOptions,
  ): Promise<{ members: Members; decisionId: string }> {
    const headers: Record<string, string> = { accept: "application/json" };
    if (body !== undefined) headers["content-type"] = "application/json";
    const token = typeof this.#options.token === "function" ? this.#options.token() : this.#options.token;
    if (token !== undefined) headers["authorization"] = `Bearer ${token.trim()}`;
    if (options.requestId !== undefined && TRACED.test(options.requestId)) headers["x-request-id"] = options.requestId;
    if (options.traceparent !== undefined && TRACED.test(options.traceparent)) {
      headers["traceparent"] = options.traceparent;
    }
    const deadline = AbortSignal.timeout(this.#options.timeoutMs ?? 1_000);
    const abandoned = new AbortController();
    const abandon = () => abandoned.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", abandon, { once: true });
    deadline.addEventListener("abort", () => abandoned.abort(deadline.reason), { once: true });
    if (options.signal?.aborted) abandon();
    try {
      const init: RequestInit = { method, headers, signal: abandoned.signal, redirect: "error" };
      if (body !== undefined) init.body = body;
      const response = await (this.#options.fetch ?? fetch)(this.#url + path, init);
      const members: unknown = await response.json();
      if (!isMembers(members)) throw new TypeError("the body is no JSON object");
      if (response.status === 200) {
        return { members, decisionId: response.headers.get("tiergate-decision-id") ?? "" };
      }
      if (response.status >= 500 && response.status !== 501) {
        throw new TypeError(String(members["detail"] ?? "the sidecar cannot decide"));
      }
      throw problemOf({ status: response.status, ...members });
    } catch (error) {
      if (error instanceof TiergateError) throw error;
      throw this.#missed(error);
    } finally {
      options.signal?.removeEventListener("abort", abandon);
    }
  }

  #answer(members: Members, decisionId: string, feature?: string): Answer {
    const isAnswer = typeof members["allowed"] === "boolean" && isMembers(members["entitlement"]);
    if (!isAnswer || (feature !== undefined && members["feature"] !== feature)) throw this.#misled();
    return { ...members, decisionId } as unknown as Answer;
  }

  #list(members: Members, name: string): Members[] {
    const found = members[name];
    if (!Array.isArray(found) || !found.every(isMembers)) throw this.#misled();
    return found;
  }

  #misled(): SidecarUnreachableError {
    return this.#missed(new TypeError("the response belongs to another request, or is not of a Tiergate sidecar"));
  }

  #missed(error: unknown): SidecarUnreachableError {
    const told = error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : error;
    const missed = new SidecarUnreachableError(`no answer from ${this.#url}: ${told}`, { cause: error });
    this.#noAnswers += 1;
    if (this.#options.onNoAnswer) tell(this.#options.onNoAnswer, missed);
    return missed;
  }
}

/** Units that are set aside until they are committed or released, or expire. */
export class Reservation {
  readonly #end: (verb: string, amount?: Quantity) => Promise<void>;

  constructor(
    readonly answer: Answer,
    /** How much is set aside: the amount, or 0 if it is denied. */
    readonly reserved: number,
    /** Empty if it is denied. */
    readonly id: string,
    end: (verb: string, amount?: Quantity) => Promise<void>,
  ) {
    this.#end = end;
  }

  get allowed(): boolean {
    return this.answer.allowed;
  }

  /** Use an amount of it, by default all; the rest is given back. */
  async commit(amount?: Quantity): Promise<void> {
    await this.#end("commit", amount);
  }

  /** Give all of it back. */
  async release(): Promise<void> {
    await this.#end("release");
  }

  /**
   * Do some work with it: all of it is committed when the work is done, and released if the work throws. If it is
   * denied, the work is not done, and the result is undefined.
   */
  async use<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (!this.allowed) return undefined;
    let result: T;
    try {
      result = await work();
    } catch (error) {
      await this.release();
      throw error;
    }
    await this.commit();
    return result;
  }
}

/** Call a hook of the service; its errors must not change the answer. */
function tell<E>(hook: (error: E) => void, error: E): void {
  try {
    hook(error);
  } catch (wrong) {
    console.error("a hook of the Tiergate client threw an error:", wrong);
  }
}

function checkBody(subject: Subject, feature: string, given: Fields, at: string): Members {
  const number = (value: Quantity | undefined, name: string) =>
    value === undefined ? undefined : digits(value, `${at}/${name}`);
  return {
    subject,
    feature,
    amount: number(given.amount, "amount"),
    used: number(given.used, "used"),
    user_used: number(given.userUsed, "user_used"),
    value: number(given.value, "value"),
    level: given.level,
  };
}

function subjectQuery(subject: Subject): URLSearchParams {
  if (typeof subject === "string") return new URLSearchParams({ subject });
  const query = new URLSearchParams({ subject: subject.id });
  if (subject.type !== undefined) query.set("type", subject.type);
  if (subject.user !== undefined) query.set("user", subject.user);
  return query;
}

function problemOf(members: Members): RequestError {
  const text = (name: string) => (typeof members[name] === "string" ? (members[name] as string) : "");
  return new RequestError({
    status: Number(members["status"]) || 500,
    type: text("type"),
    detail: text("detail") || text("title") || "refused",
    field: text("field"),
    suggestion: text("suggestion"),
  });
}

function isMembers(value: unknown): value is Members {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function newKey(): string {
  return globalThis.crypto.randomUUID();
}
