/** The dashboard's entry point: query cache, routes and layout. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter, Route, Routes } from "react-router";

import { JobPage } from "./pages/JobPage";
import { JobsPage } from "./pages/JobsPage";
import { NotFound } from "./pages/NotFound";
import { AppShell } from "./components/AppShell";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/jobs.css";
import "./styles/job.css";
import "./styles/chart.css";

const client = new QueryClient({
  // The API may run on this machine, so whether the browser is online does not matter. A failed poll
  // is not retried: the next one follows soon.
  defaultOptions: {
    queries: { networkMode: "always", retry: false },
    mutations: { networkMode: "always" },
  },
});

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <BrowserRouter>
        <AppShell>
          <Routes>
            <Route path="/" element={<JobsPage />} />
            <Route path="/jobs/:id" element={<JobPage />} />
            <Route path="*" element={<NotFound />} />
          </Routes>
        </AppShell>
      </BrowserRouter>
    </QueryClientProvider>
  </StrictMode>,
);
