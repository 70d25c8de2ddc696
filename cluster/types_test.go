package cluster_test

import (
	"reflect"
	"testing"
	"time"

	"fleettop/cluster"
)

// TestAssignmentEqual: two assignments that differ in any field aren't equal.
func TestAssignmentEqual(t *testing.T) {
	one := cluster.Assignment{Unit: "a.service"}
	for i := range reflect.TypeFor[cluster.Assignment]().NumField() {
		other := one
		switch f := reflect.ValueOf(&other).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(7)
		default:
			switch v := f.Addr().Interface().(type) {
			case *time.Time:
				*v = time.Unix(7, 0)
			case *[]cluster.Try:
				*v = []cluster.Try{{Machine: "m1"}}
			case *cluster.Stay:
				v.Reason = "x"
			default:
				t.Fatalf("field %d has a type that this test doesn't know: %T", i, v)
			}
		}
		if one.Equal(other) || !other.Equal(other) {
			t.Errorf("field %s isn't compared", reflect.TypeFor[cluster.Assignment]().Field(i).Name)
		}
	}
}
