"""The local Realtime Database itself: values, tree, queries, rules, disk."""
