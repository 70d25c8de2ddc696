// Package daemon is one machine's share of the cluster: Run wires membership,
// store, election, engine, agent and API together and takes them apart again.
package daemon
