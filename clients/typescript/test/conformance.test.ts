// The cases of `conformance/`, asked of the sidecars at TIERGATE_URL and TIERGATE_USAGE_URL (which has counted nothing).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { RequestError, Reservation, Sidecar, type Subject } from "../src/index.js";

type Members = Record<string, any>;

const folder = process.env["TIERGATE_CONFORMANCE"];
const read = (file: string): Members => JSON.parse(readFileSync(`${folder}/${file}`, "utf8"));

/** An answer has what is expected, and may have more. */
function has(found: any, expected: any, at: string): void {
  if (Array.isArray(expected)) {
    assert.equal(found.length, expected.length, at);
    expected.forEach((one, place) => has(found[place], one, `${at}/${place}`));
  } else if (expected !== null && typeof expected === "object") {
    for (const [name, value] of Object.entries(expected)) has(found?.[name], value, `${at}/${name}`);
  } else {
    assert.equal(found, expected, at);
  }
}

async function matches(ask: () => Promise<unknown>, expected: Members, name: string, lacks: string[] = []): Promise<void> {
  if (expected["problem"]) {
    await assert.rejects(ask, (error) => {
      assert(error instanceof RequestError, name);
      has(error, expected["problem"], name);
      return true;
    });
    return;
  }
  const answer = Object.entries(expected["answer"]).filter(([member]) => !lacks.includes(member));
  has(await ask(), Object.fromEntries(answer), name);
}

const fieldsOf = ({ user_used, ...check }: Members): Members => (user_used === undefined ? check : { ...check, userUsed: user_used });

test("checks, one at a time and together", async () => {
  const sidecar = new Sidecar({ url: process.env["TIERGATE_URL"]!, timeoutMs: 30_000 });
  const cases: Members[] = read("checks.json")["checks"];
  for (const { name, check, ...expected } of cases) {
    const { subject, feature, ...fields } = fieldsOf(check);
    await matches(() => sidecar.check(subject as Subject, feature as string, fields), expected, name);
  }
  const answers = await sidecar.checks(cases.map(({ check }) => fieldsOf(check) as any));
  answers.forEach((answer, place) => {
    const { name, ...expected } = cases[place]!;
    if (answer instanceof RequestError) {
      const { type, status, field } = expected["problem"];
      has(answer, { type, status, field: `/checks/${place}${field}` }, `${name}, in a batch`);
    } else {
      has(answer, expected["answer"], `${name}, in a batch`);
    }
  });
});

test("lists", async () => {
  const sidecar = new Sidecar({ url: process.env["TIERGATE_URL"]!, timeoutMs: 30_000 });
  for (const { subject, features, entitlements } of read("checks.json")["lists"]) {
    has(await sidecar.entitlements(subject, { features }), entitlements, subject);
  }
});

test("usage, one step after the other", async () => {
  const sidecar = new Sidecar({ url: process.env["TIERGATE_USAGE_URL"]!, timeoutMs: 30_000 });
  const reservations = new Map<string, Reservation>();
  for (const { name, do: verb, subject, feature, amount, key, as, reservation, ...expected } of read("usage.json")["steps"]) {
    const options = { ...(amount === undefined ? {} : { amount }), ...(key === undefined ? {} : { key }) };
    const held = reservations.get(reservation);
    switch (verb) {
      case "check":
        await matches(() => sidecar.check(subject, feature, options), expected, name);
        break;
      case "consume":
        await matches(() => sidecar.consume(subject, feature, options), expected, name);
        break;
      case "reserve": {
        const made = await sidecar.reserve(subject, feature, options);
        reservations.set(as, made);
        await matches(async () => ({ ...made.answer, reserved: made.reserved }), expected, name, ["replayed"]);
        break;
      }
      case "commit":
        await held!.commit(amount);
        break;
      case "release":
        await held!.release();
        break;
      case "report":
        await matches(() => sidecar.reportUsage(subject, feature, options), expected, name);
        break;
      case "usage":
        has(await sidecar.usage(subject, { feature }), expected["usage"], name);
        break;
      default:
        assert.fail(`unknown step ${verb}`);
    }
  }
});

test("outcomes", async () => {
  const sidecar = new Sidecar({ url: process.env["TIERGATE_USAGE_URL"]!, timeoutMs: 30_000 });
  const wrong = await sidecar.outcomes([
    { feature: "analytics", ok: true, durationMs: 12.3456 },
    { feature: "analytics", ok: false, at: new Date(), id: "o1" },
    { feature: "analytic", ok: true },
  ]);
  assert.deepEqual(wrong.map((error) => [error.status, error.field, error.suggestion]), [[404, "/outcomes/2/feature", "analytics"]]);
});
