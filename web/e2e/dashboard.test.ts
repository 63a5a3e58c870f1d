/** A person watches real jobs in a real browser: KD_URL is a service on which two are paused. */
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
const complaints: string[] = [];

beforeAll(async () => {
  profile = mkdtempSync(join(tmpdir(), "kd-chromium-"));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: FLAGS,
    viewport: { width: 1280, height: 900 },
  });
  page = browser.pages()[0] ?? (await browser.newPage());
  page.on("console", (said) => {
    if (said.type() === "error") complaints.push(said.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
}, 60_000);

afterAll(async () => {
  await browser?.close();
  rmSync(profile, { recursive: true, force: true });
});

const percentDone = async (): Promise<number> => {
  const bar = page.getByRole("progressbar").first();
  return Number(await bar.getAttribute("aria-valuenow"));
};

/** How many points a curve has; none before it is drawn. */
const pointsOf = async (name: string): Promise<number> => {
  const line: Locator = page.locator(`[data-line="${name}"]`);
  if ((await line.count()) === 0) return 0;
  return Number(await line.getAttribute("data-points"));
};

/** Open the paused job of this name from the table and resume it. */
const resume = async (name: string): Promise<void> => {
  await page.goto(url);
  await page.locator("tr[data-job]", { hasText: "Paused" }).getByRole("link", { name }).click();
  await page.getByRole("button", { name: "Resume" }).click();
};

const becomes = (state: string): Promise<void> =>
  expect.poll(() => page.locator(".job-title .pill").innerText(), AT_THE_END).toBe(state);

test("a job is resumed, found running, watched as it goes on, and cancelled", async () => {
  await resume("endless");
  await page.getByRole("link", { name: "← Jobs" }).click();
  const row = page.locator("tr[data-job]", { hasText: "Running" });
  await row.waitFor(SOON);
  await row.getByRole("link", { name: "endless" }).click();
  await page.getByRole("heading", { level: 1, name: "endless" }).waitFor(SOON);

  // The job is far too long to end in this test: both go on growing however fast the machine is.
  await expect.poll(() => pointsOf("student/accuracy"), SOON).toBeGreaterThan(0);
  const [done, points] = [await percentDone(), await pointsOf("student/accuracy")];
  await expect.poll(percentDone, SOON).toBeGreaterThan(done);
  await expect.poll(() => pointsOf("student/accuracy"), SOON).toBeGreaterThan(points);
  expect(await pointsOf("student/loss")).toBeGreaterThan(0);

  await page.getByRole("button", { name: "Cancel job" }).first().click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel job" }).click();
  await becomes("Cancelled");
  expect(complaints).toEqual([]);
}, 240_000);

test("a job is watched to its end without a reload, and its result taken home", async () => {
  await resume("short");
  await becomes("Succeeded");
  expect(await page.locator(".headline .figure").allInnerTexts()).toContainEqual(
    expect.stringMatching(/^[+−±]\d+\.\d\spp$/),
  );
  const result = page.getByRole("region", { name: "Result table" }).getByRole("row");
  expect((await result.allInnerTexts()).slice(1).map((text) => text.trim().split("\n")[0])).toEqual(
    ["Teacher", "Student", "From scratch"],
  );
  expect(await page.locator(".plot .level").count()).toBe(1);
  await expect.poll(() => pointsOf("student/accuracy"), SOON).toBeGreaterThan(0);
  await expect
    .poll(() => pointsOf("baseline/accuracy"), SOON)
    .toBe(await pointsOf("student/accuracy"));

  const onnx = page.locator('[data-artifact="onnx"]').getByRole("link");
  await onnx.waitFor(SOON);
  const [download] = await Promise.all([page.waitForEvent("download"), onnx.click()]);
  expect(download.suggestedFilename()).toMatch(/\.onnx$/);
  expect(await download.failure()).toBeNull();
  expect(complaints).toEqual([]);
}, 240_000);
