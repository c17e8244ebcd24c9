// The life of a feature, a plan, a customer and a subscription, by two generated TypeScript clients: openapi-typescript
// with openapi-fetch, and @hey-api/openapi-ts. Compiled in strict mode: what the document leaves open would not compile.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.d.ts";
import { createClient as createHeyClient } from "./hey/client/index.js";
import * as hey from "./hey/sdk.gen.js";
import type { NewSubscription, StoredFeature } from "./hey/types.gen.js";

const baseUrl = process.env["TIERGATE_URL"]!;
const headers = { Authorization: `Bearer ${process.env["TIERGATE_KEY"]}` };

/** The answer, if it is no problem. */
function good<T>(answer: { data?: T; error?: unknown }): NonNullable<T> {
  assert.equal(answer.error, undefined, JSON.stringify(answer.error));
  assert.ok(answer.data);
  return answer.data;
}

// ── openapi-typescript and openapi-fetch ─────────────────────────────────────────────────────────────────────────────

const api = createClient<paths>({ baseUrl, headers });

const feature = good(await api.POST("/v1/features", { body: { id: "ts-seats", type: "quantity", unit: "seats" } }));
await api.POST("/v1/features", { body: { id: "ts-reports", type: "switch" } });
const taken = await api.POST("/v1/features", { body: { id: "ts-reports", type: "switch" } });
assert.equal(taken.error?.type, "urn:tiergate:problem:already-exists");
// @ts-expect-error - there is no such type
void (() => api.POST("/v1/features", { body: { id: "x", type: "boolean" } }));
// @ts-expect-error - a step takes its own date alone
void (() => api.POST("/v1/subscriptions/{subscription}/trial", { params: { path: { subscription: "s" } }, body: { grace_until: "2027-01-01T00:00:00Z" } }));

const byId = { params: { path: { id: "ts-seats" }, header: { "If-Match": feature.etag } } };
const edited = good(await api.PATCH("/v1/features/{id}", { ...byId, body: { name: "Seats", description: null } }));
assert.equal(edited.name, "Seats");
const late = await api.PATCH("/v1/features/{id}", { ...byId, body: { name: "X" } });
assert.equal(late.response.status, 412);

for (const [id, seats] of [["ts-basic", 5], ["ts-gold", 20]] as const) {
  good(await api.POST("/v1/items", { body: { id, kind: "plan", entitlements: { "ts-seats": seats } } }));
}
const draft = good(await api.PATCH("/v1/items/{id}/draft", {
  params: { path: { id: "ts-gold" } },
  body: { entitlements: { "ts-reports": true } },
}));
assert.deepEqual(draft.entitlements, { "ts-seats": 20, "ts-reports": true });
const found = good(await api.GET("/v1/items", { params: { query: { kind: ["plan"], has_draft: true, text: "TS-GOLD" } } }));
assert.deepEqual(found.items.map((item) => item.id), ["ts-gold"]);

const review = good(await api.POST("/v1/publish", { body: { dry_run: true } }));
const outcome = good(await api.POST("/v1/publish", { body: {}, params: { header: { "If-Match": review.etag! } } }));
assert.ok(outcome.published);

// ── @hey-api/openapi-ts ──────────────────────────────────────────────────────────────────────────────────────────────

const client = createHeyClient({ baseUrl, headers });

const kept: StoredFeature = good(await hey.getFeature({ client, path: { id: "ts-seats" } }));
assert.equal(kept.unit, "seats");
good(await hey.createCustomer({ client, body: { id: "ts/acme", name: "東京", tags: ["eu"] } }));
good(await hey.updateCustomer({ client, path: { customer: "ts/acme" }, body: { tags: ["vip"] } }));
const named = good(await hey.listCustomers({ client, query: { text: "東京", tag: ["vip"] } }));
assert.deepEqual(named.items.map((customer) => customer.id), ["ts/acme"]);

const wanted: NewSubscription = { id: "ts-s1", customer: "ts/acme", status: "active", items: [{ item: "ts-basic" }] };
good(await hey.createSubscription({ client, body: wanted }));
const trialEnd = new Date(Date.now() + 14 * 86_400_000).toISOString();
const path = { subscription: "ts-s1" };
const trialing = good(await hey.startSubscriptionTrial({ client, path, body: { trial_end: trialEnd } }));
assert.ok("status" in trialing && trialing.status === "trialing");
good(await hey.pauseSubscription({ client, path }));
good(await hey.resumeSubscription({ client, path }));
good(await hey.changeSubscriptionPlan({ client, path, body: { to: "ts-gold" } }));
const override = { feature: "ts-seats", value: 40, until: trialEnd, reason: "Ticket 4711" };
good(await hey.createCustomerOverride({ client, path: { customer: "ts/acme" }, body: override }));
const explained = good(await hey.explain({ client, body: { subject: "ts/acme", feature: "ts-seats", amount: 30 } }));
assert.ok(explained.decision.allowed);

// ── The end, with both ───────────────────────────────────────────────────────────────────────────────────────────────

const put: components["schemas"]["SubscriptionBody"] = { customer: "ts/acme", status: "active", items: [{ item: "ts-gold" }] };
good(await api.PUT("/v1/subscriptions/{subscription}", { params: { path }, body: put }));
const own = { customer: "ts/acme" };
good(await api.POST("/v1/customers/{customer}/subscriptions", {
  params: { path: own },
  body: { id: "ts-s2", status: "active", items: [{ item: "ts-basic" }] },
}));
good(await hey.cancelSubscription({ client, path, body: {} }));
const ended = good(await hey.getSubscription({ client, path }));
assert.equal(ended.state, "ended");
for (const subscription of ["ts-s1", "ts-s2"]) {
  assert.equal((await hey.deleteSubscription({ client, path: { subscription } })).response?.status, 204);
}
assert.equal((await hey.deleteCustomer({ client, path: own })).response?.status, 204);
assert.equal(good(await hey.archiveItem({ client, path: { id: "ts-gold" } })).status, "archived");
assert.equal(good(await api.POST("/v1/features/{id}/archive", { params: { path: { id: "ts-reports" } } })).status, "archived");
