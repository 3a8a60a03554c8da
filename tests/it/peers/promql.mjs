// Reads PromQL queries, one a line, and prints those that Prometheus's own grammar does not take.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules] = process.argv.slice(2);
const { parser } = createRequire(modules)("@prometheus-io/lezer-promql");
for (const query of readFileSync(0, "utf8").split("\n")) {
  const faults = [];
  parser.parse(query).iterate({
    enter: (node) => void (node.type.isError && faults.push(node.from)),
  });
  if (faults.length > 0) console.log(`${query}\n  at ${faults[0]}: ${query.slice(faults[0])}`);
}
