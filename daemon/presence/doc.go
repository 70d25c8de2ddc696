// Package presence is how the cluster knows of this machine: a session that is
// kept open, the machine's record, the address it is reached at, and how its
// daemon leaves.
package presence
