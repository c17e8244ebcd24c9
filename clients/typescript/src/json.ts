import { RequestError } from "./errors.js";
import type { Quantity } from "./types.js";

const DECIMAL = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/;

/** A JSON number as it is written. */
export class Digits {
  constructor(readonly text: string) {}
}

/** The digits of a number; throws if it is none. `field` is where it stands, for the error. */
export function digits(value: Quantity, field: string): Digits {
  const text = String(value);
  if ((typeof value === "number" && !Number.isFinite(value)) || !DECIMAL.test(text)) {
    throw new RequestError({
      status: 400,
      type: "urn:tiergate:problem:invalid-request",
      field,
      detail: `\`${field}\`: must be a finite number, a bigint or a decimal text such as "0.5", not \`${text}\``,
    });
  }
  return new Digits(text);
}

/** JSON without the members that are undefined, with `Digits` as numbers. */
export function encode(value: unknown): string {
  if (value instanceof Digits) return value.text;
  if (Array.isArray(value)) return `[${value.map(encode).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${encode(member)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}
