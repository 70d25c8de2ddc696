// Package trust is what a machine proves itself with and whom it lets in: the
// Credentials made from the cluster's key, the Keystore with the cluster's sealed
// keys, the Service that follows and rotates them, and how a new machine gets
// the key by a token.
package trust
