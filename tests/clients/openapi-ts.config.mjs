// The settings of @hey-api/openapi-ts: modules that Node can run as they are compiled.
export default {
  input: "openapi.json",
  output: { path: "hey", module: { extension: ".js" } },
};
