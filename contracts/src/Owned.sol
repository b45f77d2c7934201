// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title One owner, for good
/// @notice The owner is the DAO's timelock, so its acts are those that a vote decided. It is fixed at deployment:
/// nothing to hand over, nothing to lose.
abstract contract Owned {
    /// @notice The only account that may do what the DAO decides.
    address public immutable owner;

    /// @notice Only the owner may do this, which is the DAO's timelock.
    error NotOwner(address caller, address owner);
    /// @notice A contract needs an owner.
    error NoOwner();

    modifier onlyOwner() {
        _onlyOwner();
        _;
    }

    constructor(address owner_) {
        require(owner_ != address(0), NoOwner());
        owner = owner_;
    }

    function _onlyOwner() private view {
        require(msg.sender == owner, NotOwner(msg.sender, owner));
    }
}
