export { RequestError, SidecarUnreachableError, TiergateError } from "./errors.js";
export { DEFAULT_URL, Reservation, Sidecar } from "./sidecar.js";
export type { SidecarOptions } from "./sidecar.js";
export type {
  Answer,
  AnyCatalog,
  CatalogShape,
  Check,
  Consumption,
  Entitlement,
  FeatureShape,
  FeatureUsage,
  FieldsOf,
  LevelFields,
  Outcome,
  Quantity,
  QuantityFields,
  RangeFields,
  RecordedUsage,
  RequestOptions,
  Source,
  Subject,
  UsageWindow,
} from "./types.js";
