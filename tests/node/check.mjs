// Reads one server event per line and writes what the Agents SDK has against it, as a JSON list.
import { createInterface } from 'node:readline';
import { OpenAIRealtimeBase } from '@openai/agents-realtime';
import { realtimeServerEventSchema } from './node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs';

const known = new Set(realtimeServerEventSchema.options.map((option) => option.shape.type.value));

class Transport extends OpenAIRealtimeBase {
  sendEvent() {}
  requestResponse() {}
  receive(data) {
    this._onMessage({ data });
  }
}
const transport = new Transport();
transport.on('error', () => {});

for await (const line of createInterface({ input: process.stdin })) {
  const faults = [];
  const event = JSON.parse(line);
  const parsed = realtimeServerEventSchema.safeParse(event);
  if (known.has(event.type) && !parsed.success) faults.push(parsed.error.message);
  try {
    transport.receive(line);
  } catch (error) {
    faults.push(String(error));
  }
  console.log(JSON.stringify(faults));
}
