import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const SRC = dirname(fileURLToPath(import.meta.url));
const FILES = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((file) =>
  /\.tsx?$/.test(file),
);

/** The files of src that a file imports, those imported for their types only included. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), "utf8");
  const paths = [...text.matchAll(/(?:from|import) "(\.[^"]+)"/g)].map(
    (match) => match[1] as string,
  );
  return paths.flatMap((path) => {
    const target = relative(SRC, join(SRC, dirname(file), path));
    return FILES.filter((one) => [`${target}.ts`, `${target}.tsx`].includes(one));
  });
}

const GRAPH = new Map(FILES.map((file) => [file, importsOf(file)]));

/** The first circle found on the way from a file, as the list of its files. */
function circleFrom(file: string, way: readonly string[], done: Set<string>): string[] | null {
  if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
  if (done.has(file)) return null;
  for (const next of GRAPH.get(file) ?? []) {
    const circle = circleFrom(next, [...way, file], done);
    if (circle) return circle;
  }
  done.add(file);
  return null;
}

test("no file imports itself by way of others", () => {
  expect(GRAPH.get("main.tsx")).toContain("pages/JobPage.tsx"); // the graph is not empty
  const done = new Set<string>();
  expect(FILES.map((file) => circleFrom(file, [], done)).find(Boolean)).toBeUndefined();
});

test("imports go down: pages, components, api, lib; lib takes only types from api", () => {
  const layers = ["lib", "api", "components", "pages"];
  const layer = (file: string): number => layers.indexOf(file.split("/")[0] as string);
  const upward = [...GRAPH].flatMap(([file, targets]) =>
    targets
      .filter(
        (target) => layer(file) >= 0 && layer(target) > layer(file) && target !== "api/types.ts",
      )
      .map((target) => `${file} -> ${target}`),
  );
  expect(upward).toEqual([]);
});
