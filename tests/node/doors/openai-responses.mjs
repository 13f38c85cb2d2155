// The `openai` package, Responses.
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { schema } from "./shared.mjs";

function take(response, seen) {
  seen.text = response.output_text;
  seen.thoughts = response.output
    .filter((item) => item.type === "reasoning")
    .flatMap((item) => [...item.summary, ...(item.content ?? [])])
    .map((part) => part.text)
    .join("");
  seen.calls = response.output
    .filter((item) => item.type === "function_call")
    .map((item) => ({ id: item.call_id, name: item.name, arguments: JSON.parse(item.arguments || "{}") }));
  seen.finish = response.incomplete_details?.reason ?? response.status;
  const parts = response.output.flatMap((item) => (item.type === "message" ? item.content : []));
  seen.refusal = parts.find((part) => part.type === "refusal")?.refusal ?? null;
  if (response.usage) seen.usage = [response.usage.input_tokens, response.usage.output_tokens];
  seen.parsed = response.output_parsed ?? null;
  if (response.error) throw failed(response);
}

const failed = ({ error }) => Object.assign(new Error(error.message), { name: error.code });

export default () => ({
  open: (url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "x", maxRetries: 0 }),
  first(task) {
    const image = { type: "input_image", detail: "auto", image_url: `data:image/png;base64,${task.image}` };
    const content = task.image ? [{ type: "input_text", text: task.text }, image] : task.text;
    return [...(task.history ?? []).map(([role, text]) => ({ role, content: text })), { role: "user", content }];
  },
  results: (calls, outputs) =>
    calls.map(({ id, name }) => ({ type: "function_call_output", call_id: id, output: outputs[name] })),
  user: (content) => [{ role: "user", content }],
  async ask(client, task, turns, seen, signal, abort) {
    const body = { model: task.model, input: turns, store: false, include: ["reasoning.encrypted_content"] };
    if (task.system) body.instructions = task.system;
    if (task.tools) body.tools = task.tools.map((one) => ({ type: "function", strict: false, ...one }));
    if (task.choice) body.tool_choice = task.choice === "any" ? "required" : { type: "function", name: task.choice };
    if (task.schema) body.text = { format: zodTextFormat(schema, "answer") };
    if (task.limit) body.max_output_tokens = task.limit;
    if (task.effort) body.reasoning = { effort: task.effort, summary: "auto" };
    if (!task.stream) {
      const response = await (task.schema
        ? client.responses.parse(body, { signal })
        : client.responses.create(body, { signal }));
      take(response, seen);
      return response.output;
    }
    const stream = client.responses.stream(body, { signal });
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") seen.text += event.delta;
      if (event.type === "response.failed") throw failed(event.response);
      if (seen.text) abort();
    }
    const response = await stream.finalResponse();
    take(response, seen);
    return response.output;
  },
  async count(client, task) {
    return { tokens: (await client.responses.inputTokens.count({ model: task.model, input: task.text })).input_tokens };
  },
});
