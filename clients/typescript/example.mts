// A streamed chat over native gRPC. Run it beside a gateway: npm run example -- "Why is the sky blue?"
import { createClient, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ChatService } from "./src/gen/isthmus/v1/chat_pb.js";

const baseUrl = process.env.ISTHMUS_URL ?? "http://127.0.0.1:8080";
const apiKey = process.env.ISTHMUS_API_KEY;

const withKey: Interceptor = (next) => (request) => {
  if (apiKey) request.header.set("authorization", `Bearer ${apiKey}`);
  return next(request);
};

const chat = createClient(ChatService, createGrpcTransport({ baseUrl, interceptors: [withKey] }));

try {
  const chunks = chat.streamChatCompletion({
    model: process.env.ISTHMUS_MODEL ?? "demo/echo",
    messages: [{ role: "user", parts: [{ kind: { case: "text", value: process.argv[2] ?? "Hello!" } }] }],
  });
  for await (const chunk of chunks) {
    for (const { event } of chunk.events) {
      if (event.case === "textDelta") process.stdout.write(event.value.text);
      if (event.case === "usage") console.error(`\n${event.value.outputTokens ?? "?"} tokens written`);
    }
  }
} catch (error) {
  console.error(ConnectError.from(error).message);
  process.exitCode = 1;
}
