// Package etcdstore keeps the cluster's state in etcd, as cluster.Store says.
//
// Every key is under one prefix, /fleettop/v1/ unless told otherwise, and its
// value is JSON:
//
//	unit/<name>                   a unit; its generation is the key's etcd version
//	assignment/<machine>/<unit>   a unit given to a machine, written by the leader
//	machine/<id>                  a machine's record
//	alive/<id>                    the run of its daemon, under the run's lease
//	status/<machine>/<unit>       what its agent reports, under the same lease
//	leader                        who leads, and whether failovers are held, under the leading run's lease
//	event/<time>-<id>             the timeline
//	cluster                       the cluster's identity
//
// Beside the prefix, where etcd is not embedded, identity says whose store it is.
//
// Because each write of a unit is one generation, and a deletion starts over,
// the generation is the version etcd counts for the key: comparing one is
// comparing the other, and a write needs no read before it.
//
// Events carry no lease. Their keys sort by time, so both bounds, seven days
// and the newest ten thousand, are one range deletion, done by whoever records
// now and then; Events leaves out what is too old and not yet deleted.
package etcdstore
