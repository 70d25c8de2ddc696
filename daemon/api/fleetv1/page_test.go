package fleetv1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestTokens(t *testing.T) {
	if got := (Page{Limit: 100, Number: 2}).Token(); got != "ZAACAA==" {
		t.Errorf("the token of page 2 is %q", got)
	}
	if p, err := ParseToken("ZAACAA=="); err != nil || p != (Page{Limit: 100, Number: 2}) {
		t.Errorf("ZAACAA== is %+v, %v", p, err)
	}
	if p, err := ParseToken(""); err != nil || p != FirstPage() {
		t.Errorf("no token is %+v, %v", p, err)
	}
	for _, bad := range []string{"x", "EwBMLg==x", "ZAACAA", "ZAAAAA==", "AAACAA==", "_38CAA==",
		"ZAACAAAA", "ZAACAA==\n\n\n\n!"} {
		if p, err := ParseToken(bad); err == nil {
			t.Errorf("%q is taken as %+v", bad, p)
		}
	}
}

func TestPagesOfAList(t *testing.T) {
	for _, c := range []struct {
		page   Page
		length int
		from   int
		to     int
		next   string
	}{
		{FirstPage(), 0, 0, 0, ""},
		{FirstPage(), 100, 0, 100, ""},
		{FirstPage(), 101, 0, 100, "ZAACAA=="},
		{Page{Limit: 100, Number: 2}, 101, 100, 101, ""},
		{Page{Limit: 100, Number: 3}, 101, 101, 101, ""},
		{Page{Limit: 100, Number: 65535}, 101, 101, 101, ""},
	} {
		if from, to, next := c.page.Of(c.length); from != c.from || to != c.to || next != c.next {
			t.Errorf("page %+v of %d is %d to %d, then %q; want %d to %d, then %q",
				c.page, c.length, from, to, next, c.from, c.to, c.next)
		}
	}
}

// TestClientReadsAllPages: a list of several pages comes whole, and a refusal as it was said.
func TestClientReadsAllPages(t *testing.T) {
	const machines = 2*PageSize + 1
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/fleet/v1/machines" {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"code":503,"message":"the store is away"}}`)
			return
		}
		p, err := ParseToken(r.URL.Query().Get("nextPageToken"))
		if err != nil {
			t.Error(err)
		}
		var page MachinePage
		var from, to int
		from, to, page.NextPageToken = p.Of(machines)
		for i := from; i < to; i++ {
			page.Machines = append(page.Machines, Machine{ID: fmt.Sprintf("%032x", i)})
		}
		if err := json.NewEncoder(w).Encode(page); err != nil {
			t.Error(err)
		}
	}))
	defer api.Close()
	c, err := Dial(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := c.Machines(context.Background())
	if err != nil || len(list) != machines || list[machines-1].ID != fmt.Sprintf("%032x", machines-1) {
		t.Errorf("%d machines, %v", len(list), err)
	}
	var refused *Error
	_, err = c.Units(context.Background())
	if !errors.As(err, &refused) || refused.Code != 503 || refused.Message != "the store is away" {
		t.Errorf("a refusal is %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	for _, bad := range []string{"", "fleet.sock", "unix://fleet.sock", "http://", "ftp://host", "http://host/v1"} {
		if _, err := Dial(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
