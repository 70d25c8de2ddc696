package server

import (
	"net/http"
	"strconv"

	"fleettop/daemon/api"
)

func writeTable(w http.ResponseWriter, t *api.UnitTable) {
	body, err := t.Encode()
	if err != nil {
		writeError(w, asError(err))
		return
	}
	w.Header().Set("Content-Type", "text/tab-separated-values; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}
