/** Where the dashboard starts: the cache of answers, the addresses, the frame. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter, Route, Routes } from "react-router";

import { JobPage } from "./pages/JobPage";
import { JobsPage } from "./pages/JobsPage";
import { Missing } from "./pages/Missing";
import { Frame } from "./parts/Frame";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/frame.css";
import "./styles/jobs.css";
import "./styles/job.css";
import "./styles/chart.css";

const client = new QueryClient({
  // The API may be on this very machine: the browser's idea of being offline says nothing. A failed
  // poll is not repeated at once, because the next poll is near.
  defaultOptions: {
    queries: { networkMode: "always", retry: false },
    mutations: { networkMode: "always" },
  },
});

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <BrowserRouter>
        <Frame>
          <Routes>
            <Route path="/" element={<JobsPage />} />
            <Route path="/jobs/:id" element={<JobPage />} />
            <Route path="*" element={<Missing />} />
          </Routes>
        </Frame>
      </BrowserRouter>
    </QueryClientProvider>
  </StrictMode>,
);
