// Ask a sidecar through OpenFeature's server SDK: the URL and a file of questions in, answers as JSON out.
import { readFileSync } from "node:fs";
import { OpenFeature } from "@openfeature/server-sdk";
import { OFREPProvider } from "@openfeature/ofrep-provider";

const [baseUrl, file] = process.argv.slice(2);
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl }));
const client = OpenFeature.getClient();
const ask = {
  boolean: (it) => client.getBooleanDetails(it.key, it.default, it.context),
  integer: (it) => client.getNumberDetails(it.key, it.default, it.context),
  float: (it) => client.getNumberDetails(it.key, it.default, it.context),
  string: (it) => client.getStringDetails(it.key, it.default, it.context),
};
const answers = [];
for (const question of JSON.parse(readFileSync(file, "utf8"))) {
  const found = await ask[question.type](question);
  answers.push({ value: found.value, reason: found.reason, code: found.errorCode ?? null, metadata: found.flagMetadata });
}
console.log(JSON.stringify(answers));
await OpenFeature.close();
