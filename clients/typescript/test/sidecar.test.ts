// What the client does by itself, against a server of its own.
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { RequestError, Sidecar, SidecarUnreachableError, TiergateError } from "../src/index.js";
import { unixSocket } from "../src/node.js";

const ANSWER = { allowed: true, reason: "granted", feature: "movies", entitlement: { value: 50 }, sources: [], stale: false };

interface Asked {
  request: IncomingMessage;
  body: string;
}

async function serving(answer: (asked: Asked, respond: Parameters<RequestListener>[1]) => void, path?: string) {
  const asked: Asked[] = [];
  const server: Server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      asked.push({ request, body });
      answer({ request, body }, response);
    });
  });
  await new Promise<void>((listening) => (path ? server.listen(path, listening) : server.listen(0, "127.0.0.1", listening)));
  const url = path ? "http://localhost" : `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { asked, url, close };
}

test("numbers are sent as they are written", async () => {
  const { asked, url, close } = await serving((_, response) => response.end(JSON.stringify(ANSWER)));
  const sidecar = new Sidecar({ url, token: () => "secret" });
  await sidecar.check("ada", "movies", { amount: "0.10", used: 12345678901234567890n, userUsed: 0.1, requestId: "r 1", traceparent: "bad\n" });
  close();
  assert.equal(asked[0]!.body, '{"subject":"ada","feature":"movies","amount":0.10,"used":12345678901234567890,"user_used":0.1}');
  assert.equal(asked[0]!.request.headers["authorization"], "Bearer secret");
  assert.equal(asked[0]!.request.headers["x-request-id"], "r 1");
  assert.equal(asked[0]!.request.headers["traceparent"], undefined);
});

test("what is no number is a mistake before anything is sent", async () => {
  const sidecar = new Sidecar({ url: "http://127.0.0.1:1" });
  for (const amount of [Number.NaN, Infinity, "1e", "" as `${number}`, "0x10"] as `${number}`[]) {
    await assert.rejects(sidecar.check("ada", "movies", { amount }), (error) => error instanceof RequestError && error.field === "/amount");
  }
  assert.equal(sidecar.noAnswers, 0);
});

test("without an answer there is what the service said", async () => {
  const answers: [string, (response: Parameters<RequestListener>[1]) => void][] = [
    ["cannot decide", (response) => response.writeHead(503).end('{"detail":"no data yet"}')],
    ["no JSON", (response) => response.end("<html>")],
    ["an answer to another request", (response) => response.end(JSON.stringify({ ...ANSWER, feature: "other" }))],
    ["nothing in time", () => undefined],
    ["a body that does not end", (response) => response.write('{"allowed":')],
    ["a redirect", (response) => response.writeHead(302, { location: "/" }).end()],
    ["a closed connection", (response) => response.destroy()],
  ];
  for (const [name, answer] of answers) {
    const { url, close } = await serving((_, response) => answer(response));
    let told = 0;
    const sidecar = new Sidecar({ url, timeoutMs: 300, onNoAnswer: () => (told += 1) });
    assert.equal(await sidecar.allows("ada", "movies", { otherwise: true }), true, name);
    assert.equal(await sidecar.allows("ada", "movies", { otherwise: false }), false, name);
    await assert.rejects(sidecar.check("ada", "movies"), SidecarUnreachableError, name);
    assert.deepEqual([told, sidecar.noAnswers], [3, 3], name);
    close();
  }
});

test("a mistake is thrown, or told", async () => {
  const problem = { type: "urn:tiergate:problem:unknown-feature", detail: "no feature", field: "/feature", suggestion: "movies" };
  const { url, close } = await serving((_, response) => response.writeHead(404).end(JSON.stringify(problem)));
  const thrown = new Sidecar({ url });
  await assert.rejects(thrown.allows("ada", "moovies", { otherwise: true }), (error) => {
    assert(error instanceof RequestError && error.isUnknownFeature);
    assert.deepEqual([error.status, error.suggestion], [404, "movies"]);
    return true;
  });
  const mistakes: RequestError[] = [];
  const told = new Sidecar({ url, onMistake: (error) => mistakes.push(error) });
  assert.equal(await told.allows("ada", "moovies", { otherwise: true }), true);
  assert.equal(mistakes.length, 1);
  close();
});

test("a hook that throws changes no answer", async (context) => {
  const told = context.mock.method(console, "error", () => undefined);
  const fail = () => {
    throw new Error("of the hook");
  };
  const unreachable = new Sidecar({ url: "http://127.0.0.1:1", onNoAnswer: fail });
  assert.equal(await unreachable.allows("ada", "movies", { otherwise: true }), true);
  await assert.rejects(unreachable.check("ada", "movies"), SidecarUnreachableError);
  const mistaken = new Sidecar({ onMistake: fail });
  assert.equal(await mistaken.allows("ada", "movies", { amount: "1e", otherwise: true } as never), true);
  assert.equal(told.mock.callCount(), 3);
});

test("a caller can give up", async () => {
  const { url, close } = await serving(() => undefined);
  const asking = new Sidecar({ url, timeoutMs: 60_000 }).check("ada", "movies", { signal: AbortSignal.timeout(20) });
  await assert.rejects(asking, SidecarUnreachableError);
  close();
});

test("a reservation is committed after the work, and released if it fails", async () => {
  const reserved = { ...ANSWER, reserved: 1, reservation: "r/1", key: "k" };
  const { asked, url, close } = await serving((_, response) => response.end(JSON.stringify(reserved)));
  const sidecar = new Sidecar({ url });
  assert.equal(await (await sidecar.reserve("ada", "movies")).use(async () => "done"), "done");
  const failing = (await sidecar.reserve("ada", "movies")).use(async () => Promise.reject(new Error("no")));
  await assert.rejects(failing, /no/);
  assert.deepEqual(asked.map(({ request }) => request.url), [
    "/v1/reserve",
    "/v1/reservations/r%2F1/commit",
    "/v1/reserve",
    "/v1/reservations/r%2F1/release",
  ]);
  close();
});

test("a reservation that is denied cannot end", async () => {
  const denied = { ...ANSWER, allowed: false, reserved: 0, key: "k" };
  const { asked, url, close } = await serving((_, response) => response.end(JSON.stringify(denied)));
  const reservation = await new Sidecar({ url }).reserve("ada", "movies");
  for (const end of [() => reservation.commit(), () => reservation.release()]) {
    await assert.rejects(end(), (error) => error instanceof RequestError && error.field === "/reservation");
  }
  assert.equal(asked.length, 1);
  close();
});

test("a Unix socket", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tiergate-"));
  const path = join(folder, "api.sock");
  let status = 200;
  const { asked, close } = await serving((_, response) => response.writeHead(status).end(JSON.stringify(ANSWER)), path);
  const sidecar = new Sidecar({ fetch: unixSocket(path), token: "of a file\n" });
  assert.equal((await sidecar.check("ada", "movies")).allowed, true);
  assert.equal(asked[0]!.request.headers.authorization, "Bearer of a file");
  status = 304;
  await assert.rejects(sidecar.check("ada", "movies"), SidecarUnreachableError);
  assert.equal(asked[0]!.request.headers.host, "localhost");
  close();
  assert.equal(await sidecar.allows("ada", "movies", { otherwise: false }), false);
  rmSync(folder, { recursive: true });
});

test("an address is looked at", () => {
  for (const url of ["localhost:8437", "ftp://a", "http://a/b", "http://a?b"]) {
    assert.throws(() => new Sidecar({ url }), TiergateError);
  }
});
