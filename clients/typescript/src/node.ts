import { Agent, request } from "node:http";

/**
 * A `fetch` that reaches a sidecar over its Unix socket, for `new Sidecar({ fetch: unixSocket("/run/tiergate/api.sock") })`.
 * Connections are kept alive. Only what this client sends is supported.
 */
export function unixSocket(path: string): typeof fetch {
  const agent = new Agent({ keepAlive: true });
  return (input, init) =>
    new Promise((resolve, reject) => {
      const url = new URL(String(input));
      const asked = request(
        {
          agent,
          socketPath: path,
          path: url.pathname + url.search,
          method: init?.method ?? "GET",
          headers: { host: "localhost", ...(init?.headers as Record<string, string>) },
          ...(init?.signal ? { signal: init.signal } : {}),
        },
        (answer) => {
          const parts: Buffer[] = [];
          answer.on("data", (part: Buffer) => parts.push(part));
          answer.on("error", reject);
          answer.on("end", () => {
            const headers = new Headers();
            for (const [name, value] of Object.entries(answer.headers)) headers.set(name, String(value));
            try {
              resolve(new Response(Buffer.concat(parts), { status: answer.statusCode ?? 500, headers }));
            } catch (error) {
              reject(error); // a status that has no body, which no sidecar sends
            }
          });
        },
      );
      asked.on("error", reject);
      asked.end(init?.body ?? undefined);
    });
}
