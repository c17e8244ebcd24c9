// Compiled, not run: what `tiergate codegen` writes makes mistakes errors of the compiler.
import { Sidecar } from "../src/index.js";
import { Feature, SupportLevel, type Catalog } from "./entitlements.js";

const sidecar = new Sidecar<Catalog>();
const otherwise = false;

export const right = [
  sidecar.check("ada", "movies", { amount: 1, used: "12.5" }),
  sidecar.check("ada", Feature.Analytics),
  sidecar.allows("ada", Feature.Support, { level: SupportLevel.Phone, otherwise }),
  sidecar.allows("ada", "support", { level: "priority-phone", otherwise }),
  sidecar.check("ada", "api-requests", { value: 400n }),
  sidecar.checks([{ subject: "ada", feature: "movies", amount: 1 }, { subject: "ada", feature: "analytics" }]),
  sidecar.entitlements("ada", { features: ["movies"] }),
];

export const wrong = [
  // @ts-expect-error a misspelt feature
  sidecar.check("ada", "moovies"),
  // @ts-expect-error a misspelt level
  sidecar.check("ada", "support", { level: "fone" }),
  // @ts-expect-error a switch has no amount
  sidecar.check("ada", "analytics", { amount: 1 }),
  // @ts-expect-error a quantity has no level
  sidecar.check("ada", "movies", { level: "phone" }),
  // @ts-expect-error what is not said is not known
  sidecar.allows("ada", "movies", {}),
  // @ts-expect-error a misspelt feature among several
  sidecar.checks([{ subject: "ada", feature: "moovies" }]),
  // @ts-expect-error a misspelt feature in a list
  sidecar.entitlements("ada", { features: ["moovies"] }),
];
