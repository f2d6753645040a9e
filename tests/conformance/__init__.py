"""The released SDKs against the local Firebase, and a second rules engine: ``make conformance``."""
