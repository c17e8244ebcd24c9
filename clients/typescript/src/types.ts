/** What each feature of a catalog takes in a check: what `tiergate codegen --language typescript` writes. */
export type CatalogShape = Record<string, FeatureShape>;

/** A feature of a type, with its levels if it is a custom one. */
export type FeatureShape =
  | { type: "switch" }
  | { type: "quantity" }
  | { type: "range" }
  | { type: "custom"; level: string };

/** A catalog that says nothing: every text is a feature, and a check may have any field. */
export type AnyCatalog = Record<string, { type: "any" }>;

/**
 * A number that is sent exactly as it is written: a `number` as JavaScript shows it, a `bigint`, or a decimal such as
 * `"0.5"`. No more decimal digits than the feature's scale; a sum in binary floats, as `0.1 + 0.2`, has 17.
 */
export type Quantity = number | bigint | `${number}`;

/** A customer by its id, or a customer or subscription, with the user of it who asks. */
export type Subject = string | { id: string; type?: "customer" | "subscription"; user?: string };

/** The fields of a check of a quantity. */
export interface QuantityFields {
  /** The additional amount; by default one unit, or the least amount of the feature's batch. */
  amount?: Quantity;
  /** The usage so far; by default the metered usage, or 0. */
  used?: Quantity;
  /** The part of it that the user used. */
  userUsed?: Quantity;
}

/** The fields of a check of a range. */
export interface RangeFields {
  /** The value to set; without it, the check is whether any value is allowed. */
  value?: Quantity;
}

/** The fields of a check of a custom feature. */
export interface LevelFields<L extends string = string> {
  /** The required level; without it, the check is whether the subject has any level. */
  level?: L;
}

/** What a check of a feature may have, by its type. */
export type FieldsOf<S> = S extends { type: "switch" }
  ? unknown
  : S extends { type: "quantity" }
    ? QuantityFields
    : S extends { type: "range" }
      ? RangeFields
      : S extends { type: "custom"; level: infer L extends string }
        ? LevelFields<L>
        : QuantityFields & RangeFields & LevelFields;

/** What goes with a request, whatever it asks. */
export interface RequestOptions {
  /** For the decision log, and echoed: 1 to 128 letters, digits and `._~:/+=@-`. */
  requestId?: string;
  /** The caller's W3C Trace Context, for the decision log. */
  traceparent?: string;
  /** Ends the request early; then there is no answer. */
  signal?: AbortSignal;
}

/** What a subject has, whatever was decided. Numbers above 2^53 are rounded, as in all of JavaScript. */
export interface Entitlement {
  /** True or false of a switch, a level or null of a custom feature, else a number; absent if it is unlimited. */
  value?: boolean | number | string | null;
  unlimited?: boolean;
  unit?: string;
  /** Of a quantity, before the amount of the check. */
  used?: number;
  /** Of a quantity that is not unlimited. */
  remaining?: number;
  /** How much of `value` is granted units. */
  granted?: number;
  /** How much is used above the limit. */
  overage?: number;
  /** The feature's caps beside that: for everybody together, and for each user. */
  caps?: { total?: number; per_user?: number };
}

/** An item or an override that contributed. */
export interface Source {
  item?: string;
  version?: number;
  quantity?: number;
  override?: string;
  mode?: string;
  subscription?: string;
  value?: boolean | number | string | null;
  unlimited?: boolean;
  add?: number;
}

/** A decision. A newer sidecar may send further members. */
export interface Answer {
  allowed: boolean;
  /** Why; if you do not know a reason, use `allowed` alone. */
  reason: string;
  feature: string;
  /** Absent until the sidecar has a catalog. */
  type?: "switch" | "quantity" | "range" | "custom";
  /** How the feature works at present, if it is not operational. */
  status?: string;
  entitlement: Entitlement;
  sources: Source[];
  policies: string[];
  publication: number;
  revision: string;
  /** The next instant at which this may change by itself, RFC 3339. */
  valid_until?: string;
  /** The end of the window in which usage is counted, RFC 3339. */
  resets_at?: string;
  /** Whether the sidecar's data is older than its limit. */
  stale: boolean;
  /** Names the decision in the decision log, for `tiergate replay`; empty in a list. */
  decisionId: string;
  /** In a list: the most decimal digits of the feature's numbers. */
  scale?: number;
}

/** The answer to a consumption, with the usage after it. */
export interface Consumption extends Answer {
  /** What was counted: the amount, or 0 if it is denied. */
  consumed: number;
  key: string;
  /** Whether an earlier request with this key was counted, and this is its answer. */
  replayed: boolean;
}

/** Usage that was counted after the fact. */
export interface RecordedUsage {
  feature: string;
  amount: number;
  window: UsageWindow;
  key: string;
  replayed: boolean;
}

/** A window in which usage is counted; without an end if it never resets. */
export interface UsageWindow {
  from?: string;
  until?: string;
}

/** The usage of a metered feature in its current window. */
export interface FeatureUsage {
  feature: string;
  scale?: number;
  unit?: string;
  used: number;
  /** Units of open reservations, which `used` contains. */
  reserved: number;
  user_used?: number;
  unlimited: boolean;
  soft: boolean;
  limit?: number;
  granted?: number;
  remaining?: number;
  overage?: number;
  window: UsageWindow;
  resets_at?: string;
}

/** How a request to a feature went. */
export interface Outcome<F extends string = string> {
  feature: F;
  ok: boolean;
  /** How long it took, in milliseconds. */
  durationMs?: number;
  /** When; by default now. */
  at?: Date;
  /** With the same id it counts once. */
  id?: string;
}

/** A check of one of several features. */
export type Check<C = AnyCatalog> = {
  [F in keyof C & string]: { subject: Subject; feature: F } & FieldsOf<C[F]>;
}[keyof C & string];
