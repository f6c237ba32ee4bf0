// One written turn with the npm package `openai`, which insists on TLS.
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';

const openai = new OpenAI({ apiKey: process.argv[3], baseURL: process.argv[2] });
const realtime = new OpenAIRealtimeWS({ model: 'gpt-realtime' }, openai);
const content = [{ type: 'input_text', text: process.argv[4] }];

realtime.on('session.created', () => {
  realtime.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
  realtime.send({ type: 'response.create' });
});
realtime.on('response.output_text.delta', (event) => process.stdout.write(event.delta));
realtime.on('response.done', () => realtime.close());
realtime.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
