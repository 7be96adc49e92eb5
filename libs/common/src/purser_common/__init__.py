"""The chassis of Purser's services. The list of modules is closed; the README says why each is here."""
