// Validates custom resources against the schemas of their operators: a JSON list on standard
// input, the first mistake on standard output.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const packages = {
  "monitoring.coreos.com/v1": "prometheus-operator",
  "external-secrets.io/v1": "external-secrets",
};
for (const { apiVersion, kind, ...rest } of JSON.parse(readFileSync(0, "utf8"))) {
  const folder = `${process.argv[2]}/node_modules/@kubernetes-models/${packages[apiVersion]}`;
  const { [kind]: Kind } = await import(pathToFileURL(`${folder}/${apiVersion}/${kind}.js`));
  try {
    new Kind(rest).validate();
  } catch (error) {
    console.log(`${kind}: ${error.message}`);
    process.exit(1);
  }
}
