// One SDK in a process of its own: `node worker.mjs openai-chat`. A task is a line of JSON on stdin, its answer a line
// on stdout with the same id. What differs between SDKs is in doors/: how a request is written in the SDK's own words,
// and what its user then sees. A door has
//   open(url)                       a client
//   first(task)                     the turns before the answer, as this SDK writes them
//   ask(client, task, turns, seen, signal)   asks, fills `seen` while it comes, gives the turns to go on with
//   results(calls, outputs)         the turns that answer calls; `user(text)` one more question
//   embed, models, count            where the SDK has them
import { createInterface } from "node:readline";

const [name, ...rest] = process.argv[2].split(":");
const door = (await import(`./doors/${name}.mjs`)).default(...rest);
const write = (value) => process.stdout.write(JSON.stringify(value) + "\n");

const blank = () => ({ text: "", thoughts: "", calls: [], finish: null, usage: null, parsed: null, error: null });

function shown(error) {
  const status = error.status ?? error.statusCode ?? error.status_code ?? error.code ?? null;
  const body = error.responseBody ?? ""; // where an SDK's message is only "Bad Request"
  return { class: error.constructor.name, name: error.name, status, message: `${error.message} ${body}`.trim() };
}

async function converse(client, task) {
  const turns = door.first(task);
  const answers = [];
  const questions = [...(task.then ?? [])];
  for (;;) {
    const seen = blank();
    answers.push(seen);
    const controller = new AbortController();
    const abort = task.abort ? () => controller.abort() : () => {};
    try {
      turns.push(...(await door.ask(client, task, turns, seen, controller.signal, abort)));
    } catch (error) {
      seen.error = shown(error);
      return answers;
    }
    if (seen.calls.length && task.outputs) turns.push(...door.results(seen.calls, task.outputs));
    else if (questions.length) turns.push(...door.user(questions.shift()));
    else return answers;
    if (answers.length > 3) throw new Error("the conversation does not end");
  }
}

async function perform(task) {
  const client = door.open(task.url);
  if (task.do === "ask") return converse(client, task);
  if (!door[task.do]) return { missing: true };
  try {
    return await door[task.do](client, task);
  } catch (error) {
    return { error: shown(error) };
  }
}

write({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line);
  try {
    write({ id: task.id, answer: await perform(task) });
  } catch (error) {
    write({ id: task.id, crash: `${error.stack}` });
  }
}
