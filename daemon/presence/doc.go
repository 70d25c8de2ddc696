// Package presence is how the cluster knows of this machine: a session that is
// kept open, the machine's record, the address it is reached at, and a word when
// its daemon leaves.
package presence
