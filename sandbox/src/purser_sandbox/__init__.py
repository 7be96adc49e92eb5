"""Stand-ins for what is not Purser's: marketplace, Microsoft, OIDC issuer, clock."""
