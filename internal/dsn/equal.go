package dsn

import (
	"crypto/tls"
	"crypto/x509"
	"reflect"
	"slices"
)

// Equal reports whether two nodes are the same address, reached in the same way:
// by all that a data source name can say of a connection, the contents of
// certificate files included. Functions in the configurations aren't compared.
func (n Node) Equal(other Node) bool {
	a, b := n.Conn, other.Conn
	return n.Name == other.Name && sameFields(*a, *b) && sameFields(a.Config, b.Config) &&
		sameTLS(a.TLSConfig, b.TLSConfig) && len(a.Fallbacks) == len(b.Fallbacks) && sameFallbacks(n, other)
}

func sameFallbacks(n, other Node) bool {
	for i, a := range n.Conn.Fallbacks {
		if b := other.Conn.Fallbacks[i]; !sameFields(*a, *b) || !sameTLS(a.TLSConfig, b.TLSConfig) {
			return false
		}
	}
	return true
}

// sameFields compares the exported fields of two structs that are plain values, lists
// or maps of them. Functions, interfaces and what lies behind pointers or in other
// structs isn't looked at.
func sameFields[T any](a, b T) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		field := x.Type().Field(i)
		switch field.Type.Kind() {
		case reflect.Func, reflect.Interface, reflect.Pointer, reflect.Struct:
			continue
		case reflect.Slice:
			if field.Type.Elem().Kind() == reflect.Pointer {
				continue
			}
		default:
		}
		if field.IsExported() && !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return false
		}
	}
	return true
}

// sameTLS compares what a data source name can say about TLS.
func sameTLS(a, b *tls.Config) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ServerName == b.ServerName && a.InsecureSkipVerify == b.InsecureSkipVerify &&
		(a.VerifyPeerCertificate == nil) == (b.VerifyPeerCertificate == nil) &&
		samePool(a.RootCAs, b.RootCAs) &&
		slices.EqualFunc(a.Certificates, b.Certificates, func(x, y tls.Certificate) bool {
			return slices.EqualFunc(x.Certificate, y.Certificate, slices.Equal)
		})
}

func samePool(a, b *x509.CertPool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}
