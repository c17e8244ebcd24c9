// Ask a sidecar through OpenFeature's web SDK, whose provider fetches all flags of a context at once. With a third
// argument, a file: wait there for a change of the first flag, which a stream of events announces.
import { readFileSync, writeFileSync } from "node:fs";
import { EventSource } from "eventsource";
import { OpenFeature, ProviderEvents } from "@openfeature/web-sdk";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";

globalThis.EventSource = EventSource; // as every browser has it
const [baseUrl, file, ready] = process.argv.slice(2);
const questions = JSON.parse(readFileSync(file, "utf8"));
await OpenFeature.setContext(questions[0].context);
await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl, pollInterval: -1 }));
const client = OpenFeature.getClient();
const ask = {
  boolean: (it) => client.getBooleanDetails(it.key, it.default),
  integer: (it) => client.getNumberDetails(it.key, it.default),
  float: (it) => client.getNumberDetails(it.key, it.default),
  string: (it) => client.getStringDetails(it.key, it.default),
};
const answers = [];
for (const question of questions) {
  await OpenFeature.setContext(question.context);
  const found = ask[question.type](question);
  answers.push({ value: found.value, reason: found.reason, code: found.errorCode ?? null, metadata: found.flagMetadata });
}
if (ready) {
  await OpenFeature.setContext(questions[0].context);
  const before = ask[questions[0].type](questions[0]).value;
  const changed = new Promise((resolve) => {
    client.addHandler(ProviderEvents.ConfigurationChanged, () => {
      const value = ask[questions[0].type](questions[0]).value;
      if (value !== before) resolve(value);
    });
  });
  writeFileSync(ready, "ready");
  answers.push(await changed);
}
console.log(JSON.stringify(answers));
await OpenFeature.close();
process.exit(0);
