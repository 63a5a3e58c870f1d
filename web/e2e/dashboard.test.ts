/** Watches real jobs in a real browser; KD_URL is a service with two paused jobs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type BrowserContext, type Locator, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";

const url = process.env["KD_URL"] ?? "http://127.0.0.1:8765";
const executablePath = process.env["KD_CHROMIUM"] ?? "/usr/bin/chromium";
const SOON = { timeout: 60_000, interval: 100 };
const AT_THE_END = { timeout: 180_000, interval: 250 };
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

let profile: string;
let browser: BrowserContext;
let page: Page;
const consoleErrors: string[] = [];

beforeAll(async () => {
  profile = mkdtempSync(join(tmpdir(), "kd-chromium-"));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: FLAGS,
    viewport: { width: 1280, height: 900 },
  });
  page = browser.pages()[0] ?? (await browser.newPage());
  page.on("console", (message) => {
    if (message.type() === "error") consoleErrors.push(message.text());
  });
  page.on("pageerror", (error) => consoleErrors.push(error.message));
}, 60_000);

afterAll(async () => {
  await browser?.close();
  rmSync(profile, { recursive: true, force: true });
});

const stepsDone = async (): Promise<number> => {
  const text = await page.locator(".job-status .facts").innerText();
  return Number(/step ([\d,]+) of/.exec(text)?.[1]?.replaceAll(",", "") ?? 0);
};

/** The number of points of a curve; 0 before it is drawn. */
const pointsOf = async (name: string): Promise<number> => {
  const line: Locator = page.locator(`[data-line="${name}"]`);
  if ((await line.count()) === 0) return 0;
  return Number(await line.getAttribute("data-points"));
};

/** Opens the paused job of this name from the table and resumes it. */
const resume = async (name: string): Promise<void> => {
  await page.goto(url);
  await page.locator("tr[data-job]", { hasText: "Paused" }).getByRole("link", { name }).click();
  await page.getByRole("button", { name: "Resume" }).click();
};

const becomes = (state: string): Promise<void> =>
  expect.poll(() => page.locator(".job-title .pill").innerText(), AT_THE_END).toBe(state);

/** Asserts that progress and the accuracy curve of the job on the page keep growing. */
const growsFurther = async (): Promise<void> => {
  await expect.poll(() => pointsOf("student/accuracy"), SOON).toBeGreaterThan(0);
  const [done, points] = [await stepsDone(), await pointsOf("student/accuracy")];
  await expect.poll(stepsDone, SOON).toBeGreaterThan(done);
  await expect.poll(() => pointsOf("student/accuracy"), SOON).toBeGreaterThan(points);
};

test("a job is resumed, found running, watched live, and cancelled", async () => {
  await resume("endless");
  await page.getByRole("link", { name: "← Jobs" }).click();
  const row = page.locator("tr[data-job]", { hasText: "Running" });
  await row.waitFor(SOON);
  await row.getByRole("link", { name: "endless" }).click();
  await page.getByRole("heading", { level: 1, name: "endless" }).waitFor(SOON);

  // The job is far too long to end in this test, however fast the machine is.
  await growsFurther();
  expect(await pointsOf("student/loss")).toBeGreaterThan(0);

  // Without news from polling, what the stream pushes is enough.
  await page.route(/\/v1\/jobs\/[^/]+(\/metrics.*)?$/, (route) => route.fulfill({ status: 304 }));
  await growsFurther();
  await page.unrouteAll();

  // Where a proxy in between swallows the stream, polling is enough.
  await page.route(/\/events$/, (route) =>
    route.fulfill({ contentType: "text/event-stream", body: "" }),
  );
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "endless" }).waitFor(SOON);
  await growsFurther();
  await page.unrouteAll();

  await page.getByRole("button", { name: "Cancel job" }).first().click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel job" }).click();
  await becomes("Cancelled");
  expect(consoleErrors).toEqual([]);
}, 240_000);

test("a job is watched to its end without a reload, and its result is downloaded", async () => {
  await resume("short");
  await becomes("Succeeded");
  expect(await page.locator(".result-summary .figure").allInnerTexts()).toContainEqual(
    expect.stringMatching(/^[+−±]\d+\.\d\spp$/),
  );
  const result = page.getByRole("region", { name: "Result table" }).getByRole("row");
  expect((await result.allInnerTexts()).slice(1).map((text) => text.trim().split("\n")[0])).toEqual(
    ["Teacher", "Student", "From scratch"],
  );
  expect(await page.locator(".plot .reference").count()).toBe(1);
  await expect.poll(() => pointsOf("student/accuracy"), SOON).toBeGreaterThan(0);
  await expect
    .poll(() => pointsOf("baseline/accuracy"), SOON)
    .toBe(await pointsOf("student/accuracy"));

  const onnx = page.locator('[data-artifact="onnx"]').getByRole("link");
  await onnx.waitFor(SOON);
  const [download] = await Promise.all([page.waitForEvent("download"), onnx.click()]);
  expect(download.suggestedFilename()).toMatch(/\.onnx$/);
  expect(await download.failure()).toBeNull();
  expect(consoleErrors).toEqual([]);
}, 240_000);
