"""Automated actions: what is registered, when it is called for, how far each call is, and the calling itself."""
