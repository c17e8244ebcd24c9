module github.com/tiergate/tiergate/clients/go

go 1.22
