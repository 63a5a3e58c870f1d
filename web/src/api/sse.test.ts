import { expect, test } from "vitest";

import { messageParser, readMessages } from "./sse";

const WIRE =
  'id: 7\r\nevent: log\r\ndata: {"a":\r\ndata: 1}\r\n\r\n: ping\r\n\r\nevent: end\r\ndata: {}\r\n\r\n';
const MESSAGES = [
  { event: "log", data: '{"a":\n1}', id: "7" },
  { event: "end", data: "{}", id: null },
];

test("messages have an event, an id and joined data lines; comments are not messages", () => {
  expect(messageParser()(WIRE)).toEqual(MESSAGES);
  expect(messageParser()(WIRE.replaceAll("\r\n", "\n"))).toEqual(MESSAGES);
});

test("it does not matter where the text is cut", () => {
  for (let cut = 0; cut <= WIRE.length; cut++) {
    const parse = messageParser();
    expect([...parse(WIRE.slice(0, cut)), ...parse(WIRE.slice(cut))]).toEqual(MESSAGES);
  }
});

test("a stream is read to its end, characters split between chunks included; half a message is dropped", async () => {
  const bytes = new TextEncoder().encode("data: é\n\ndata: half");
  const chunks = [bytes.slice(0, 7), bytes.slice(7)];
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = chunks.shift();
      if (chunk) controller.enqueue(chunk);
      else controller.close();
    },
  });
  const found = [];
  for await (const messages of readMessages(stream)) found.push(...messages);
  expect(found).toEqual([{ event: "message", data: "é", id: null }]);
});
