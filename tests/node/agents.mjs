// The Agents SDK as a program: orders come in as lines of JSON, what it tells goes out the same way.
import { createInterface } from 'node:readline';
import { RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';
import { realtimeServerEventSchema } from './node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs';

const known = new Set(realtimeServerEventSchema.options.map((option) => option.shape.type.value));
const tell = (on, fields = {}) => console.log(JSON.stringify({ on, ...fields }));
const [url, config] = [process.argv[2], JSON.parse(process.argv[3] ?? '{}')];

const agent = new RealtimeAgent({ name: 'Assistant', instructions: 'Answer briefly.' });
const session = new RealtimeSession(agent, { transport: 'websocket', model: 'gpt-realtime', config });
session.on('transport_event', (event) => {
  const parsed = realtimeServerEventSchema.safeParse(event);
  const fault = known.has(event.type) && !parsed.success ? parsed.error.message : null;
  tell('event', { event, fault });
});
session.on('agent_start', () => tell('agent_start'));
session.on('agent_end', (_context, _agent, output) => tell('agent_end', { output }));
session.on('history_updated', (history) => tell('history', { history }));
session.on('audio_interrupted', () => tell('interrupted'));
session.on('error', (error) => tell('error', { error }));

await session.connect({ apiKey: 'none', url });
tell('connected');

const orders = {
  audio: ({ audio, commit = false }) =>
    session.sendAudio(Uint8Array.from(Buffer.from(audio, 'base64')).buffer, { commit }),
  message: ({ text }) => session.sendMessage(text),
  interrupt: () => session.interrupt(),
  history: ({ history }) => session.updateHistory(history),
  send: ({ event }) => session.transport.sendEvent(event),
};
for await (const line of createInterface({ input: process.stdin })) {
  const { order, ...fields } = JSON.parse(line);
  orders[order](fields);
}
session.close();
