// Streams one chat answer, and one failing call, with the official OpenAI package for JavaScript; prints what it saw as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "sk-anything", maxRetries: 0, timeout: 30_000 });
const messages = [{ role: "user", content: "Say hello." }];
const seen = { words: [], finish: null, usage: null, error: null, cut: null };

const stream = await client.chat.completions.create({
  model: "ok",
  messages,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  const choice = chunk.choices[0];
  if (choice?.delta?.content) seen.words.push(choice.delta.content);
  seen.finish = choice?.finish_reason ?? seen.finish;
  seen.usage = chunk.usage ?? seen.usage;
}
try {
  await client.chat.completions.create({ model: "r429", messages });
} catch (error) {
  seen.error = {
    kind: error.constructor.name,
    status: error.status,
    code: error.code,
    retryAfter: error.headers.get("retry-after"),
    requestID: typeof error.requestID,
  };
}
try {
  for await (const _ of await client.chat.completions.create({ model: "cut", messages, stream: true }));
  seen.cut = "ended as if it were whole";
} catch (error) {
  seen.cut = { kind: error.constructor.name, code: error.code };
}
console.log(JSON.stringify(seen));
