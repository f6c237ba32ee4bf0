"""OpenAI Realtime as a codec: its client events in, its server events out, in its order.

The session decides; what is only presentation is kept here: the session object as JSON, audio
formats and base64, ids on the wire, the order and shape of events, echoed event ids, beta names.
"""
