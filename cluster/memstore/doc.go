// Package memstore keeps the cluster's state in memory, with the semantics of
// a real store: revisions, guarded writes, leases that run out, watches that
// break. Several Stores opened on one Cluster act like the stores of several
// daemons, and each can be cut off from the rest, which makes it the store of
// simulations and tests.
package memstore
