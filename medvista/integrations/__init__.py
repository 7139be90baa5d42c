"""Bridges to other projects; each is imported by its own name, since each needs packages of its own.

`mcp_client` (tools of Model Context Protocol servers), `mcp_server` (our tools for other agents).
"""
