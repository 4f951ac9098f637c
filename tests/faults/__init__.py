"""
Faults between clients and brokers, and inside a forwarder, made on demand and counted.

frames   Kafka's frames on a stream: what is asked, by whom, in which direction
rules    which frame meets which fault, how often, and whether it happened
proxy    what every connection of a faulty cluster passes through
forked   a forwarder in a process of its own, with crash points
"""
