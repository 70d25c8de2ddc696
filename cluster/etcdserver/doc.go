// Package etcdserver runs etcd inside the daemon: a first machine bootstraps a
// cluster of one, others join it as learners, and Next decides, one step at a
// time, who votes. It knows nothing of units, or of what is kept in etcd.
package etcdserver
