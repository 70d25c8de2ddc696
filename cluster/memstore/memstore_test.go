package memstore

import (
	"testing"

	"fleettop/cluster"
	"fleettop/cluster/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() cluster.Store {
		c := New()
		return func() cluster.Store {
			s := c.Open()
			t.Cleanup(func() { s.Close() })
			return s
		}
	})
}
