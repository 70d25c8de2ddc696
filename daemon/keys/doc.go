// Package keys is the cluster's one secret and all that is made of it: what
// encrypts gossip, the authority that signs the machines' certificates, and
// the tokens by which a new machine gets the secret itself.
package keys
