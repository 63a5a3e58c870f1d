/** How the dashboard is built and, while developing, where it finds the API. */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const api = process.env["KD_URL"] ?? "http://127.0.0.1:8765";

export default defineConfig({
  plugins: [react()],
  server: { proxy: { "/v1": api, "/docs": api, "/openapi.json": api } },
  build: {
    outDir: "../distillery/web", // the Python package carries it
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // a data: URL would need a hole in the content security policy
    modulePreload: { polyfill: false },
  },
});
