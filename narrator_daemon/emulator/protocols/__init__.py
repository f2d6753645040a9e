"""How clients talk to the local database: REST, event streams, WebSocket."""
