/** Server-sent events over fetch: unlike `EventSource`, fetch can send the API key. */

/** One message; `id` is null where the server sent none. */
export interface Message {
  event: string;
  data: string;
  id: string | null;
}

/** Reads a stream to its end. Yields the messages that arrived together as one array. */
export async function* readMessages(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Message[], void> {
  const parse = messageParser();
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const messages = parse(decoder.decode(next.value, { stream: true }));
      if (messages.length > 0) yield messages;
    }
  } finally {
    await reader.cancel();
  }
}

/** Returns a function that takes the text piece by piece; an incomplete message waits for the rest. */
export function messageParser(): (text: string) => Message[] {
  let rest = "";
  return (text) => {
    const blocks = (rest + text).split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? "";
    return blocks.map(parseBlock).filter((message) => message.data !== "");
  };
}

function parseBlock(block: string): Message {
  const message: Message = { event: "message", data: "", id: null };
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, value = ""] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (field === "event") message.event = value;
    if (field === "data") data.push(value);
    if (field === "id") message.id = value;
  }
  return { ...message, data: data.join("\n") };
}
